"""How weights come about: one method a file."""
