"""The section `parallel` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ..shared.core.settings import Settings

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class Cluster(Settings):
    """What one model needs of a cluster, and how its results travel; for the launchers ray and slurm."""

    remote: str | None = None
    """Name of the DVC remote that the head and all workers share; null: the default remote. A folder, S3, SSH, but not
    HTTP."""
    repository: str | None = None
    """What workers clone: a URL of git, or a folder that all of them can read; null: this folder."""
    scratch: str | None = None
    """Folder of a node for clones and downloaded data; null: in the folder for temporary files. One that all nodes
    share lets a training that was moved to another node go on from its last whole epoch."""
    cpus: Positive = 2
    """Cores of one model, and its number of threads."""
    gpus: Count = 0
    """GPUs of one model."""
    memory_gb: Positive | None = None
    """Memory of one model, in GB; null: not asked for."""
    retries: Count = 1
    """How often a model is started again when its worker was killed. A model that fails by itself is not."""


class Ray(Settings):
    """Of the launcher ray."""

    address: str | None = None
    """Of the cluster's head node, host:port; null: RAY_ADDRESS, else a cluster that runs here, else a new one of this
    machine alone."""


class Slurm(Settings):
    """Of the launcher slurm."""

    partition: str | None = None
    """null: the cluster's default."""
    minutes: Positive = 240
    """Time limit of one model. One that reaches it is queued again, `cluster.retries` times."""
    options: dict[str, Any] = {}
    """Further options of sbatch, without the dashes, such as account or constraint."""
    setup: list[str] = []
    """Shell commands to run before a model starts, such as `module load cuda`."""


class Params(Settings):
    """How `make run` runs the members of the matrix."""

    jobs: Positive | None = None
    """Models at a time; null: one per GPU, or one per core; on a cluster: as many as it takes."""
    launcher: Literal["local", "ray", "slurm"] = "local"
    """Where models are trained: on this machine, on a Ray cluster, or as jobs of Slurm."""
    cluster: Cluster = Cluster()
    """Of the launchers ray and slurm: what one model needs, and how its results travel."""
    ray: Ray = Ray()
    """Of the launcher ray."""
    slurm: Slurm = Slurm()
    """Of the launcher slurm."""
