"""What a student is made from, as typed settings in a file."""
