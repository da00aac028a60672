"""Makes sound ready for the device: what was written → pieces, a tenth of a second ahead.

It stretches and resamples in a thread of its own, and finds another device when one goes away.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import soxr

from spark_mlx.audio.files import Samples
from spark_mlx.audio.playback import portaudio
from spark_mlx.audio.playback.output import Output, Watch
from spark_mlx.audio.playback.portaudio import REMEDY
from spark_mlx.audio.playback.renderer import Piece, Renderer
from spark_mlx.audio.time_stretch import Stretch
from spark_mlx.errors import PlaybackError

# All in seconds.
PORTION = 0.02  # of sound, that the feeder takes at a time
AHEAD = 0.1  # of sound, ready for the callback
TICK = 0.01  # between two looks at what the callback has done; it must not wake anyone


@dataclass(eq=False)
class Queue:
    """What was written and is not fed yet. Callers and feeder share it; the callback never takes
    the lock.

    Attributes:
        changed: the lock, notified of every change.
        sounds: (N,) each, at the player's rate, none longer than a portion.
        count: samples in them.
        ending: whether nothing follows what is queued.
        closing: whether nobody wants any more.
        error: what the feeder died of.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    sounds: deque[Samples] = field(default_factory=deque)
    count: int = 0
    ending: bool = False
    closing: bool = False
    error: BaseException | None = None


class Feeder:
    """Feeds a renderer from a queue, through a stream that it opens again when it has to.

    Args:
        sample_rate: of what is queued, in Hz.

    Attributes:
        queue: what is to be fed.
        rate: the tempo.
        portion: samples that it takes at a time.
    """

    def __init__(self, sample_rate: int, renderer: Renderer) -> None:
        self.queue = Queue()
        self.rate = 1.0
        self.portion = max(1, int(PORTION * sample_rate))
        self._sample_rate = sample_rate
        self._renderer = renderer
        self._output = Output(sample_rate, renderer)
        self._watch = Watch()
        self._thread = threading.Thread(target=self._feed, name="spark-mlx player", daemon=True)
        self._fed_epoch = 0
        self._fed: deque[tuple[int, Samples]] = deque()  # (first, samples) perhaps not heard yet
        self._fed_count = 0  # samples, in this epoch
        self._given = 0.0  # samples that its pieces stand for, in this epoch
        self._ended = True  # whether nothing was fed since the last piece
        self._stretch = Stretch(sample_rate)
        self._resample: soxr.ResampleStream | None = None
        self._late = 0.0  # frames that the resampler holds

    # In the threads of the callers.

    def connect(self, device: int | None) -> None:
        """Opens and starts the stream.

        Raises:
            PlaybackError: there is no such device, or it does not play.
        """
        self._output.connect(device)
        rate = self._renderer.rate
        self._resample = None
        if rate != self._sample_rate:
            self._resample = soxr.ResampleStream(self._sample_rate, rate, 1, dtype="float32")

    def start(self) -> None:
        """Begins to feed."""
        self._thread.start()

    def close(self, play_out: bool) -> None:
        """Ends the thread and closes the stream."""
        with self.queue.changed:
            self.queue.closing = True
            self.queue.changed.notify_all()
        self._thread.join()
        self._output.disconnect(play_out)

    def drained(self) -> bool:
        """Whether all that was written has been heard, or need not be."""
        queue, renderer = self.queue, self._renderer
        with queue.changed:
            if not queue.ending:
                return True  # stopped, or somebody goes on writing
            if queue.sounds or not self._ended or renderer.waiting:
                return False
            return renderer.heard(time.perf_counter()) >= renderer.source - 0.5

    # In the feeder's thread.

    def _feed(self) -> None:
        queue = self.queue
        try:
            while not queue.closing:
                if self._output.gone.is_set() or self._watch.hangs(self._renderer.calls):
                    self._reconnect()
                elif not self._feed_some():
                    with queue.changed:
                        if not queue.closing:
                            soon = queue.sounds or (queue.ending and not self._ended)
                            queue.changed.wait(TICK if soon else 10 * TICK)
        except BaseException as error:  # not lost: whoever writes or waits meets it
            with queue.changed:
                queue.error = error
                queue.changed.notify_all()

    def _feed_some(self) -> bool:
        """Makes a piece, if it is time to and there is something to make it from."""
        queue, renderer = self.queue, self._renderer
        with queue.changed:
            epoch = renderer.epoch
            if epoch != self._fed_epoch:
                self._fed_epoch = epoch
                self._begin_anew()
            if renderer.waiting >= AHEAD * renderer.rate:
                return False
            some: list[Samples] = []
            while queue.sounds and sum(map(len, some)) + len(queue.sounds[0]) <= self.portion:
                some.append(queue.sounds.popleft())
            sound = np.concatenate(some) if some else np.zeros(0, dtype=np.float32)
            last = queue.ending and not queue.sounds
            if not some and (self._ended or not last):
                return False
            queue.count -= len(sound)
            self._ended = False
            self._fed.append((self._fed_count, sound))
            self._fed_count += len(sound)
            if epoch == renderer.epoch_taken:
                heard = renderer.heard(time.perf_counter()) - renderer.epoch_source
                while self._fed and self._fed[0][0] + len(self._fed[0][1]) <= heard:
                    self._fed.popleft()
            queue.changed.notify_all()
        piece = self._make(sound, epoch, last)
        with queue.changed:
            if epoch == renderer.epoch and (last or len(piece.samples)):
                renderer.add(piece)
                self._ended = last
        return True

    def _make(self, sound: Samples, epoch: int, last: bool) -> Piece:
        """Stretches and resamples (N,) at the player's rate → (M,) at the device's."""
        rate = self.rate
        ratio = self._renderer.rate / self._sample_rate
        sound = self._stretch.process(sound, rate, last)
        if self._resample is not None:
            self._late += len(sound) * ratio
            sound = self._resample.resample_chunk(sound, last)
            self._late -= len(sound)
        held = max(0.0, self._stretch.held) + max(0.0, self._late) * rate / ratio
        if last:
            held = self._late = 0.0
            if self._resample is not None:
                self._resample.clear()
        # What they hold stands for samples too; the rest is spread over this piece.
        source = max(0.0, self._fed_count - self._given - held) if last or len(sound) else 0.0
        self._given += source
        return Piece(sound, source, epoch, last)

    def _begin_anew(self) -> None:
        """Forgets all of the speech that was being fed."""
        self._fed.clear()
        self._fed_count = 0
        self._given = self._late = 0.0
        self._ended = True
        self._stretch.reset()
        if self._resample is not None:
            self._resample.clear()

    def _reconnect(self) -> None:
        """Goes on with the default device, from the first sample that was not heard.

        Raises:
            PlaybackError: there is none for some seconds.
        """
        self._output.disconnect(play_out=False)
        self._rewind()
        while not self.queue.closing:
            with self.queue.changed:
                self.queue.changed.wait_for(lambda: self.queue.closing, 10 * TICK)
            patient = self._watch.patient()
            try:
                portaudio.restart()
                self.connect(None)
            except PlaybackError:
                if not patient:
                    raise
            else:
                if patient:
                    return
                # It can be opened, but every time it goes away again.
                self._output.disconnect(play_out=False)
                raise PlaybackError(f"the output device plays nothing any more; {REMEDY}")

    def _rewind(self) -> None:
        """Puts back what was not heard when the device went away. There is no stream now."""
        queue, renderer = self.queue, self._renderer
        with queue.changed:
            begun = renderer.rewind()
            if self._fed_epoch == renderer.epoch:
                fed = [some[max(0, begun - first) :] for first, some in self._fed]
                queue.sounds.extendleft(reversed([some for some in fed if len(some)]))
                queue.count += sum(map(len, fed))
            self._fed_epoch = renderer.epoch
            self._begin_anew()
            self._ended = False
