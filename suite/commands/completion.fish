function __suite_run
  set -l line "suite-run "(string replace -r '^suite run ?' '' -- (commandline -cp))
  env COMP_LINE=$line suite-run -sc query=fish
end
complete -c suite -f -n '__fish_is_nth_token 1' -a '@COMMANDS@'
complete -c suite -f -n '__fish_seen_subcommand_from run' -a '(__suite_run)'
