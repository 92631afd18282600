echo preparing tooled
here=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "answer = 42" > "$here/made_by_script.py"
