"""What Prometheus reads: requests, verdicts, queues, time; of one process, or, where there are several, of all."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Where processes share their figures; set before `prometheus_client` is imported."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "aasist_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "aasist_request_seconds", "From the headers to the answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self.verdicts = Counter("aasist_verdicts", "Recordings judged.", ["label"], registry=registry)
        self.audio_seconds = Counter("aasist_audio_seconds", "Audio judged.", registry=registry)
        self.refused = Counter("aasist_refused", "Answers that are problems.", ["code"], registry=registry)
        self.jobs = Counter("aasist_jobs", "Jobs that ended.", ["status"], registry=registry)
        self.webhooks = Counter("aasist_webhooks", "Attempts to deliver a webhook.", ["outcome"], registry=registry)
        self.windows = Counter("aasist_windows", "Windows scored.", registry=registry)
        self.run_seconds = Histogram("aasist_run_seconds", "Of the model.", buckets=_SECONDS, registry=registry)
        self.streams_ended = Counter("aasist_streams_ended", "Live streams that ended.", ["outcome"], registry=registry)
        self.stream_delay = Histogram(
            "aasist_stream_delay_seconds",
            "From audio of a live stream to its events.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = self._gauge("aasist_uploads_in_flight", "Uploads being received or judged.")
        self.waiting = self._gauge("aasist_runs_waiting", "Runs that wait for the model.")
        self.streams = self._gauge("aasist_streams", "Live streams.")
        self.replaced = self._gauge("aasist_decoders_replaced", "Decoders that ended on a recording.")

    def on_run(self, windows: int, seconds: float) -> None:
        """Count one run of the model."""
        self.windows.inc(windows)
        self.run_seconds.observe(seconds)

    def text(self) -> bytes:
        """In the format of Prometheus."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        for file in Path(os.environ[SHARED]).glob("gauge_live*_*.db"):
            pid = file.stem.rpartition("_")[2]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                mark_process_dead(int(pid))  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, registry=self.registry, multiprocess_mode="livesum")
