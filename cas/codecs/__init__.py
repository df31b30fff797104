"""How a chunk's bytes are stored: pure pairs of functions over buffers, numbered in the format."""
