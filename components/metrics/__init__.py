"""What a session reports: returns, risk, costs and the quality of its signals. Pure numpy."""
