"""One file per kind of explanation method; each ends by entering its methods in `METHODS`."""
