"""The exercises of book/actor_critic_two_networks.md: `make exercise NAME=actor_critic_two_networks` checks them."""


def entropy(logits):
    """Logits of a policy [B, A] → the entropy of its probabilities in each row [B]."""
    return ...


def slopes(returns):
    """Returns of the two steps of the example [2] → the slopes in w of the actor's and the critic's loss, both []."""
    return ...


def best_policy(advantage, weight):
    """Advantages of the actions [A], weight of the entropy → the probabilities with the largest objective [A]."""
    return ...


def value_of_start(length, beyond, gamma):
    """Steps of a game that pays 1 - gamma at each, the value after the last → the return of the first step []."""
    return ...
