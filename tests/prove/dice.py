"""Dice of one's own: what hypothesis calls strategies, as functions of a `random.Random`.

Hypothesis draws what is small and alike, so that it can shrink it; of long runs of operations most are then refused, and few come
far. Here it draws the dice's seeds and shrinks how many steps there are, and the dice are fair.
"""


def just(value):
    """Roll always the same."""
    return lambda _: value


def sampled_from(values):
    """Roll one of these."""
    return lambda dice: dice.choice(values)


def integers(least, most):
    """Roll a number."""
    return lambda dice: dice.randint(least, most)


def tuples(*rolls):
    """Roll each."""
    return lambda dice: tuple(roll(dice) for roll in rolls)


def one_of(*rolls):
    """Roll one of these."""
    return lambda dice: dice.choice(rolls)(dice)


def fixed_dictionaries(required, *, optional):
    """Roll what is required, and of what is optional about every second, half of the time none."""
    return lambda dice: (
        {name: roll(dice) for name, roll in required.items()}
        | {
            name: roll(dice)
            for chance in [dice.choice((0, 0.5))]
            for name, roll in optional.items()
            if dice.random() < chance
        }
    )
