"""What the client gets: whole replies, events as they come, and what policies make of them."""
