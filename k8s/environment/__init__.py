"""What an environment is: its values, the rules they keep, and where they are read from."""
