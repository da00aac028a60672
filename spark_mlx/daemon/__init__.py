"""A process that holds the model and speaks for others; they talk to it over a Unix socket."""
