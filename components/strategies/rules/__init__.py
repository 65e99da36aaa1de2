"""Rules: when a position is closed, kept from coming back, or made smaller, whatever the strategy wants."""
