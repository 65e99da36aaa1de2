"""Gates: what every order passes before a broker sees it."""
