"""What every kind of warehouse does: each test runs on a file and on a lake."""
