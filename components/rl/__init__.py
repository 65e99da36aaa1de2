"""Order execution as a game to learn: days, orders, the market they trade in, what is seen, done and rewarded."""
