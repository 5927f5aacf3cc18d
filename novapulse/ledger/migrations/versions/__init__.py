"""One file per revision, frozen once it is released."""
