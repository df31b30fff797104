"""What an encrypted store keeps secret, and by which keys. `docs/format.md`, Encryption."""
