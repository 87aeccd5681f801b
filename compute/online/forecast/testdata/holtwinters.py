# Makes holtwinters.csv: additive Holt-Winters with fixed parameters and start, by statsmodels 0.14.5 with pandas 2.3.3 and numpy 2.4.6.
#
#   pip install statsmodels==0.14.5 pandas==2.3.3 numpy==2.4.6 && python3 holtwinters.py > holtwinters.csv
#
# Rows of kind "value" are the series, of kind "damped" and "steady" the 12 forecasts at its end with the trend damped by 0.9 and not at all.
import numpy as np
from statsmodels.tsa.holtwinters import ExponentialSmoothing

rng = np.random.default_rng(7)
n, season = 80, 6
y = 50 + 0.3 * np.arange(n) + np.tile([4, 1, -3, -6, 0, 4], n)[:n] + rng.normal(0, 1.5, n)
start = dict(initial_level=48.0, initial_trend=0.5, initial_seasonal=[3.0, 1.0, -2.0, -5.0, 0.0, 3.0])
print("kind,value")
for v in y:
    print(f"value,{float(v)!r}")
for kind, damped in (("damped", 0.9), ("steady", None)):
    m = ExponentialSmoothing(y, trend="add", damped_trend=damped is not None, seasonal="add", seasonal_periods=season, initialization_method="known", **start)
    fit = m.fit(smoothing_level=0.3, smoothing_trend=0.2, smoothing_seasonal=0.25, damping_trend=damped, optimized=False)
    for v in fit.forecast(12):
        print(f"{kind},{float(v)!r}")
