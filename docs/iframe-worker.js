// Search is a worker, and browsers start none for a page that was opened from a disk. There, a hidden
// frame of the same page does its work: it runs the same script, and hands messages on.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.worker = this;
      this.ready = new Promise((started) => (this.frame.onload = started));
      this.frame.srcdoc =
        "<script>window.postMessage = (data) => frameElement.worker.receive(data)</script>" +
        `<script src="${script}"></script>`;
      document.body.append(this.frame);
    }

    postMessage(data) {
      this.ready.then(() =>
        this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    receive(data) {
      this.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
