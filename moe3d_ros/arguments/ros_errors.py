"""What rclpy raises about its arguments and its environment, as one line for a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
import re

from moe3d_engine.errors import ConfigError
from rclpy.exceptions import NameValidationException
from rclpy.exceptions import ParameterException

MAX_DOMAIN_ID = 232  # beyond it DDS has no ports


@contextmanager
def ros_errors_in_one_line() -> Iterator[None]:
    """
    Turn what rclpy raises in the block into an error for a person.

    Raises
    ------
    ConfigError
        If ROS_DOMAIN_ID is none, an argument or a file of parameters cannot be parsed, the log
        cannot be written, or a name of a topic or node is not valid.
    """
    domain = os.environ.get('ROS_DOMAIN_ID') or '0'
    if not re.fullmatch('[0-9]{1,3}', domain) or int(domain) > MAX_DOMAIN_ID:
        raise ConfigError(
            f'ROS_DOMAIN_ID is a number from 0 to {MAX_DOMAIN_ID}; got {domain[:40]!r}.'
        )
    try:
        yield
    except (NameValidationException, ParameterException) as error:
        raise ConfigError(' '.join(str(error).split())) from error
    except RuntimeError as error:
        if not type(error).__module__.startswith('rclpy.'):
            raise
        text = re.sub(r',? at [^ ]+\.[ch]p*:\d+', '', str(error))  # places in the sources of ROS
        advice = ' Set ROS_LOG_DIR to a folder that can be written.' if 'logging' in text else ''
        raise ConfigError(f'ROS says: {" ".join(text.split())}.{advice}') from error
