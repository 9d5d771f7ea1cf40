"""Run `anomaly-assets` as `python -m anomaly_assets`, and as the console command.

Signals and lost screens are handled before anything else is imported.
"""

import sys

from anomaly_assets.signals import (
    INTERRUPTED,
    end_silently_when_interrupted,
    end_when_interrupted,
)
from anomaly_assets.streams import forgive_lost_screens


def main() -> int:
    """Run the command in a process of its own; returns its exit code."""
    end_when_interrupted()
    forgive_lost_screens()
    try:
        from anomaly_assets.cli.start import main as command

        return command()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        sys.stdout.flush()
        end_silently_when_interrupted()


if __name__ == "__main__":
    sys.exit(main())
