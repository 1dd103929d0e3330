"""Wrong guesses that come back: what is kept of each guess, and the cards that ask again with fresh numbers."""
