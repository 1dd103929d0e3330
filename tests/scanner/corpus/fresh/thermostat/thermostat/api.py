import logging

import requests

_LOGGER = logging.getLogger(__name__)


class ApiError(Exception):
    pass


class ThermostatApi:
    def __init__(self, host, token):
        self._base = f"http://{host}/v2"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _request(self, method, path, **kwargs):
        response = self._session.request(method, self._base + path, timeout=10, **kwargs)
        if response.status_code >= 400:
            raise ApiError(response.text)
        return response.json()

    def get_state(self):
        return self._request("GET", "/state")

    def set_target(self, celsius):
        _LOGGER.debug("target %s", celsius)
        return self._request("PUT", "/target", json={"celsius": celsius})
