"""Side-by-side measurements. `python -m bench` runs them; README.md says what the figures mean."""
