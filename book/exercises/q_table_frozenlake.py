"""The exercises of book/q_table_frozenlake.md: fill each blank, then `make exercise NAME=q_table_frozenlake`."""


def td_step(entry, reward, terminated, next_row, gamma, step_size):
    """An entry, and what followed its action, with the next state's row [A] → the error and the new entry."""
    return ...


def bellman(outcomes, values, gamma):
    """An action's [(probability, next state, reward, terminated)], each state's best value [S] → its exact value."""
    return ...


def weights_of_targets(step_sizes):
    """The step sizes of n visits, [n] → the weight of each visit's target in the entry after the last visit, [n]."""
    return ...


def break_even(fast, fast_steps, safe, safe_steps):
    """Probability of success and steps of a fast and of a safe way → the discount at which both are worth the same."""
    return ...
