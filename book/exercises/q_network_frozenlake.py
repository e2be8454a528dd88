"""The exercises of book/q_network_frozenlake.md: fill each blank, then `make exercise NAME=q_network_frozenlake`."""


def semi_gradient(q, s, a, target):
    """Table q [S, A], a state, an action and a given target → the derivatives of (target - q[s, a])², [S, A]."""
    return ...


def full_gradient(q, s, a, reward, terminated, next_s, gamma):
    """Table q [S, A] and one step → the derivatives of (target - q[s, a])², the target's own included, [S, A]."""
    return ...


def follow(q, reward, gamma, step_size, updates):
    """The value q of a state that leads back to itself and pays `reward` → its values after each update, [updates]."""
    return ...


def new_entry(entry, targets, learning_rate, playing):
    """An entry, the targets of the games that visit it, the rate, the number of games in progress → the new entry."""
    return ...
