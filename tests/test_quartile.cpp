// Quartiles of known values.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "src/quartile.h"

TEST_CASE("quartiles lie between values, in any order of them") {
  using Values = std::vector<double>;
  for (const auto& [values, quartiles] :
       std::vector<std::pair<Values, Values>>{{{7}, {7, 7, 7, 7, 7}},
                                              {{2, 1}, {1, 1.25, 1.5, 1.75, 2}},
                                              {{3, 1, 2}, {1, 1.5, 2, 2.5, 3}},
                                              {{4, 2, 1, 3}, {1, 1.75, 2.5, 3.25, 4}},
                                              {{50, 10, 30, 20, 40}, {10, 20, 30, 40, 50}},
                                              {{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, {1, 3.25, 5.5, 7.75, 10}}}) {
    CAPTURE(values.size());
    for (int quarters = 0; quarters <= 4; ++quarters)
      CHECK(adaface::quartile(values, quarters) == quartiles[static_cast<std::size_t>(quarters)]);
  }
}
