"""The photos that a server keeps for its page, in least-recently-used order."""

import secrets
from collections import OrderedDict

from slimcae.studio.failures import Refused
from slimcae.studio.photo import Photo


class Gallery:
    """Photos by names that cannot be guessed. Only for the event loop."""

    def __init__(self, max_photos: int, max_pixels: int) -> None:
        self._max_photos = max_photos
        self._max_pixels = max_pixels
        self._photos: OrderedDict[str, Photo] = OrderedDict()

    def add(self, photo: Photo) -> str:
        """Keep a photo, and remove older ones beyond the limits."""
        name = secrets.token_urlsafe(12)
        self._photos[name] = photo
        while len(self._photos) > 1 and self._is_full():
            self._photos.popitem(last=False)
        return name

    def get(self, name: str) -> Photo:
        """Return a photo, and mark it as most recently used.

        Raises:
            Refused: 404.
        """
        photo = self._photos.get(name)
        if photo is None:
            raise Refused(404, "this photo is not held here (any more): send it again")
        self._photos.move_to_end(name)
        return photo

    def remove(self, name: str) -> None:
        """Remove a photo.

        Raises:
            Refused: 404.
        """
        self.get(name)
        del self._photos[name]

    def __len__(self) -> int:
        return len(self._photos)

    def _is_full(self) -> bool:
        pixels = sum(photo.num_pixels for photo in self._photos.values())
        return len(self._photos) > self._max_photos or pixels > self._max_pixels
