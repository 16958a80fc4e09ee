"""What every caller of a portal's REST interface needs: its limits, its errors, its answers."""
