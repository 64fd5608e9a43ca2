"""What each log API says and how: requests out, responses in, no sockets (see ``base``)."""
