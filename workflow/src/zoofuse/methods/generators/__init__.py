"""Methods that sample networks of a zoo's task from its weights, for the leaderboard (docs/leaderboard.md)."""
