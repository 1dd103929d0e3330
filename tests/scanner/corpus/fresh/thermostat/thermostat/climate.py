from datetime import timedelta

from homeassistant.components.climate import ClimateEntity
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator

from .api import ApiError, ThermostatApi


async def async_setup_entry(hass, entry, async_add_entities):
    api = ThermostatApi(entry.data["host"], entry.data["token"])

    async def _fetch():
        return await hass.async_add_executor_job(api.get_state)  # clean: the framework's threads

    coordinator = DataUpdateCoordinator(
        hass, None, name="thermostat", update_method=_fetch, update_interval=timedelta(seconds=30)
    )
    await coordinator.async_config_entry_first_refresh()
    async_add_entities([Thermostat(coordinator, api)])


class Thermostat(ClimateEntity):
    def __init__(self, coordinator, api: ThermostatApi):
        self.coordinator = coordinator
        self._api = api
        self._target = None

    @property
    def target_temperature(self):
        return self._target

    def set_hvac_mode(self, hvac_mode):
        self._api.set_target(21 if hvac_mode == "heat" else 7)  # clean: the framework calls it in a thread

    async def async_set_temperature(self, **kwargs):
        try:
            self._api.set_target(kwargs["temperature"])  # expect-via: blocking-http
        except ApiError:
            return
        self._target = kwargs["temperature"]

    async def async_update(self):
        state = self._refresh()  # expect-via: blocking-http
        self._target = state.get("target")  # clean: a dict

    def _refresh(self):
        return self._api.get_state()
