"""The HTTP doors under test, over real sockets: what they take, what they answer, whom they let in."""
