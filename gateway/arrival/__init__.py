"""What comes from a client: whose it is, and its body, however slowly that comes or however it is packed."""
