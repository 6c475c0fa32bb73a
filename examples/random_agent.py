"""A random agent drives the arm through Gymnasium, without a model, 20 times per simulated second.

python examples/random_agent.py
"""

import argparse

import gymnasium

import qwenarm  # noqa: F401  # registers the ids


def main(arguments: list[str] | None = None) -> None:
    """Plays a few episodes and prints how each one ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100, help="control periods of 50 ms per episode")
    parser.add_argument("--control", choices=("joint", "ee_delta"), default="ee_delta")
    args = parser.parse_args(arguments)

    env = gymnasium.make("qwenarm/Put-v0", control=args.control, max_episode_steps=args.steps)
    for seed in range(args.episodes):
        observation, info = env.reset(seed=seed)
        env.action_space.seed(seed)
        print(f'seed {seed}: "{env.get_wrapper_attr("task_description")}"')
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
            total += float(reward)
            over = terminated or truncated
        pictures = {camera: picture.shape for camera, picture in observation["pixels"].items()}
        print(f"  success {info['is_success']}, reward {total:.2f}, last pictures {pictures}")
    env.close()


if __name__ == "__main__":
    main()
