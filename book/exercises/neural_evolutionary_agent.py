"""Exercises of book/neural_evolutionary_agent.md: fill the blanks, `make exercise NAME=neural_evolutionary_agent`."""


def elites(rewards, percentile):
    """Rewards of N games, [N], and a percentile, 0 to 100 → which games are elites, [N] bool."""
    return ...


def imitated(states, actions, num_states, num_actions):
    """States and actions of the elites' steps, [S] both, each state at least once → best probabilities, [states, A]."""
    return ...


def elite_gradient(probabilities, actions, elite):
    """Probabilities [A], actions [N] of games of one step, elites [N] bool → the loss's gradient in the logits, [A]."""
    return ...


def ends_of_elites(kinds, share):
    """Kinds of games [(end, reward, probability)], the elites' share of all games → {end: its share of the elites}."""
    return ...
