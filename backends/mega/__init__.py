"""MEGA as a backend: its API spoken on trio (decision 0028)."""
