"""The stream to an output device: opened, watched, and closed whatever state it is in."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from spark_mlx.audio.playback import portaudio
from spark_mlx.audio.playback.portaudio import REMEDY
from spark_mlx.audio.playback.renderer import BLOCK, Renderer
from spark_mlx.errors import PlaybackError

# All in seconds.
LATENCY = 0.05  # asked of the device, which may have its own mind
HUNG = 2.0  # without a callback: the device is gone, though PortAudio did not notice
PATIENCE = 5.0  # with a device that is gone


class Output:
    """A stream that plays what a renderer gives it; it can be opened again on another device.

    Args:
        sample_rate: of what was written, in Hz. A device that refuses it is asked for the rate it
            prefers.
        renderer: what it calls, in PortAudio's thread.

    Attributes:
        gone: set when the stream has ended.
    """

    def __init__(self, sample_rate: int, renderer: Renderer) -> None:
        self.gone = threading.Event()
        self._sample_rate = sample_rate
        self._renderer = renderer
        self._stream: Any = None

    def connect(self, device: int | None) -> None:
        """Opens and starts the stream.

        Raises:
            PlaybackError: there is no such device, or it does not play.
        """
        sounddevice = portaudio.load()
        entry = portaudio.output() if device is None else sounddevice.query_devices(device)
        # Mono would be refused by some devices, and come from the left only on others.
        channels = min(2, entry["max_output_channels"])
        rate = self._sample_rate
        try:
            sounddevice.check_output_settings(device=device, channels=channels, samplerate=rate)
        except sounddevice.PortAudioError:
            # Any other complaint than the rate comes up again below, with its reason.
            rate = int(entry["default_samplerate"])
        self._renderer.prepare(rate)
        self.gone = threading.Event()
        self._renderer.called = time.perf_counter()
        try:
            self._stream = sounddevice.OutputStream(
                samplerate=rate,
                blocksize=len(self._renderer.block),
                device=device,
                channels=channels,
                dtype="float32",
                latency=LATENCY,
                callback=self._renderer.callback,
                finished_callback=self.gone.set,
            )
            self._renderer.latency = self._stream.latency
            self._stream.start()
        except sounddevice.PortAudioError as error:
            self.disconnect(play_out=False)
            raise PlaybackError(f"{entry['name']} does not play ({error}); {REMEDY}") from error

    def disconnect(self, play_out: bool) -> None:
        """Closes the stream, if there is one, whatever state it is in."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        for end in (stream.stop if play_out else stream.abort, stream.close):
            with contextlib.suppress(portaudio.load().PortAudioError):
                end()


class Watch:
    """Notices a device that does not play, though PortAudio says nothing."""

    def __init__(self) -> None:
        self._calls = 0
        self._looked = time.monotonic()
        self._still = 0.0
        self._since: float | None = None  # when a device that plays was last missed
        self._sure = 0

    def hangs(self, calls: int) -> bool:
        """Whether the callback was not called for long. Must be asked often."""
        now = time.monotonic()
        # A process that was suspended looks late itself.
        elapsed, self._looked = min(now - self._looked, 0.2), now
        self._still = 0.0 if calls != self._calls else self._still + elapsed
        self._calls = calls
        if self._since is not None and calls > self._sure:
            self._since = None
        if self._still < HUNG:
            return False
        self._still = 0.0
        return True

    def patient(self) -> bool:
        """Whether to try again to open a device. A second of sound gives new patience."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._sure = self._calls + int(1 / BLOCK)
        self._still = 0.0
        return now - self._since < PATIENCE
