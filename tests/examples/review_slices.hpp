#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

/// Writes train.tsv and test.tsv to `directory`, cut from the movie reviews: the first `train_each` good and bad ones,
/// and the next `test_each` of each. Ratings go from -4 to 4; those nearer to 0 than `least` are left out.
inline void write_review_slices(const std::filesystem::path& directory, int train_each = 48, int test_each = 16,
                                double least = 1e-9) {
  std::ifstream in(GRAFT_DEPS "/reviews/movieReviewSnippets_GroundTruth.txt");
  std::ofstream train(directory / "train.tsv"), test(directory / "test.tsv");
  train << "text\tlabel\n";
  test << "text\tlabel\n";
  int positive = 0, negative = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    const auto rating_at = line.find('\t') + 1;
    const double rating = std::stod(line.substr(rating_at));
    int& seen = rating > 0 ? positive : negative;
    if (std::abs(rating) < least || seen == train_each + test_each) continue;
    (++seen > train_each ? test : train) << line.substr(line.find('\t', rating_at) + 1)
                                         << (rating > 0 ? "\tpositive\n" : "\tnegative\n");
  }
}
