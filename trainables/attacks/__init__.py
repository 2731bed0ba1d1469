"""Attacks: TextAttack's recipes by name, their offline resources, and the engine that runs them."""
