"""Who could serve a call, and in what order. Pure, but for what `strategies` has seen of the channels."""
