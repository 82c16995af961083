import sys
from pathlib import Path

FOREIGN = Path(__file__).parent / "foreign"
# What an installed package would be: workers inherit the path.
sys.path.insert(0, str(FOREIGN))
