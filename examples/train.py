"""Train a small autoencoder on good images, and score the test images by what it cannot reproduce.

    pip install '.[torch]'
    python examples/train.py --category woven --epochs 5

Reads the published database, which may be refreshed meanwhile: a run reads one snapshot from its first
image to its last, and prints its id.
"""

from __future__ import annotations

import argparse

import torch
from torch.utils.data import DataLoader

from anomaly_assets.arguments import at_least
from anomaly_assets.reader import Samples, open_samples


def autoencoder(channels: int) -> torch.nn.Module:
    """Build an autoencoder with a bottleneck: a quarter of the width and height, few channels."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 16, 4, stride=4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 4, 1),
        torch.nn.ConvTranspose2d(4, channels, 4, stride=4),
    )


def train(samples: Samples, epochs: int, workers: int) -> torch.nn.Module:
    """Train on all samples; print a line per epoch."""
    torch.manual_seed(0)
    model = autoencoder(samples.shape[2])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    loader = DataLoader(
        samples.to_torch(),
        batch_size=16,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),  # the same order in every run
        num_workers=workers,
    )
    for epoch in range(1, epochs + 1):
        total = pixels = 0.0
        for batch in loader:
            images = batch["image"]
            loss = torch.nn.functional.mse_loss(model(images), images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(images)
            pixels += images.double().square().sum().item()
        energy = pixels / (len(samples) * samples.images[0].size)
        print(
            f"epoch {epoch}: {len(samples)} images, mean square {energy:.4f}, "
            f"loss {total / len(samples):.4f}",
            flush=True,
        )
    return model


def scores(model: torch.nn.Module, samples: Samples) -> torch.Tensor:
    """Return one score per sample, in their order: the largest error of any pixel."""
    found = []
    with torch.no_grad():
        for batch in DataLoader(samples.to_torch(), batch_size=64):
            error = (model(batch["image"]) - batch["image"]).abs()
            found.append(error.amax((1, 2, 3)))
    return torch.cat(found)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--category", default="woven")
    parser.add_argument("--epochs", type=at_least(1), default=5)
    parser.add_argument("--workers", type=at_least(0), default=2)
    options = parser.parse_args()
    with open_samples(category=options.category) as samples:
        samples = samples.normalised()
        split, label = (samples.table[name].to_numpy() for name in ("split", "label"))
        print(f"snapshot {samples.snapshot_id}", flush=True)
        model = train(
            samples[(split == "train") & (label == "good")], options.epochs, options.workers
        )
        test = samples[split == "test"]
        for sample, score in zip(test.table.to_pylist(), scores(model, test), strict=True):
            print(f"{score:8.2f}  {sample['label']:10} {sample['image_id']}")


if __name__ == "__main__":
    main()
