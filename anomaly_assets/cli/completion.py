"""Print the script that completes sub-commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from anomaly_assets.cli.running import NAME, examples

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=examples(
        'eval "$(anomaly-assets completion bash)"',
        "anomaly-assets completion fish > ~/.config/fish/completions/anomaly-assets.fish",
    )
)
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Print a script for bash, zsh or fish that completes sub-commands and options."""
    from anomaly_assets.cli.app import command as all_commands

    completion = get_completion_class(shell)
    assert completion is not None
    variable = f"_{NAME}_COMPLETE".replace("-", "_").upper()
    print(completion(all_commands, {}, NAME, variable).source())
