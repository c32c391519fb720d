"""The parametric movements, one module per family; importing the registry finds them by itself."""
