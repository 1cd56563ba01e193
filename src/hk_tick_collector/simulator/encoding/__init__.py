"""Made ticks and OpenD's own messages as bytes, right or wrong on purpose."""
