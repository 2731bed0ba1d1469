"""Assets that ship inside the package: small data sets and the programs that make them."""
