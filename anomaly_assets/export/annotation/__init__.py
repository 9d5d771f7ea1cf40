"""Exchange samples with annotation tools: write their formats, and read what comes back as corrections."""
