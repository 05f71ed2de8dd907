"""The recipe of a distillation: typed settings in a TOML file."""
