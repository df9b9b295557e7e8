"""The installation: two Python packages, the two commands and the files that ROS looks for."""

from pathlib import Path

from setuptools import find_packages
from setuptools import setup

NAME = 'moe3d_ros'
SHARE = f'share/{NAME}'


def files_in(folder: str, *patterns: str) -> list[str]:
    """Return the files of a folder that match, as setuptools wants them."""
    return sorted(str(path) for pattern in patterns for path in Path(folder).glob(pattern))


setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=['moe3d_engine*', 'moe3d_ros*']),
    package_data={
        'moe3d_engine': ['py.typed'],
        'moe3d_engine.lab.protocols': ['protocols.json'],
        'moe3d_engine.assets': ['*.onnx', '*.safetensors', '*.npz', '*.json'],
        'moe3d_ros': ['py.typed'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (SHARE, ['package.xml']),
        (f'{SHARE}/launch', files_in('launch', '*.launch.py')),
        (f'{SHARE}/config', files_in('config', '*.yaml', '*.rviz', '*.xml')),
        (f'{SHARE}/config/consumers', files_in('config/consumers', '*.yaml')),
        (f'{SHARE}/config/foxglove', files_in('config/foxglove', '*.json')),
    ],
    python_requires='>=3.10',
    install_requires=['numpy>=1.26,<3'],
    extras_require={
        'openvino': ['openvino'],
        'torch': ['torch', 'safetensors'],
        'evaluation': ['scipy', 'matplotlib', 'scikit-image', 'evo'],
        'mappers': ['octomap-python'],
        'tsdf': ['open3d-cpu'],
        'rerun': ['rerun-sdk'],
        'test': ['pytest'],
    },
    zip_safe=False,
    author='moe3d_ros developers',
    maintainer='moe3d_ros developers',
    maintainer_email='moe3d_ros@users.noreply.github.com',
    description='Metric depth and point clouds without flying points from ordinary cameras.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'moe3d = moe3d_ros.cli:main',
            'moe3d_node = moe3d_ros.run:main',
        ],
    },
)
