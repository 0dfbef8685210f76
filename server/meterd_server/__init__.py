"""The daemon of meterd: it keeps a prepaid balance for every user and meters what they spend, exact to the microcent."""
